/* SPDX-License-Identifier: MIT OR Apache-2.0
 * Where the fields of the public structs of 0.1 lie. Compiled with its own header and with today's. */
#include "unsandbox.h"
#include <stdio.h>

#define FIELD(type, field) \
    printf("%s.%s %zu %zu\n", #type, #field, offsetof(type, field), sizeof(((type *)0)->field))

int main(void) {
    FIELD(unsandbox_artifact, filename);
    FIELD(unsandbox_artifact, filename_len);
    FIELD(unsandbox_artifact, safe_filename);
    FIELD(unsandbox_artifact, safe_filename_len);
    FIELD(unsandbox_artifact, kind);
    FIELD(unsandbox_artifact, kind_len);
    FIELD(unsandbox_artifact, content);
    FIELD(unsandbox_artifact, content_len);
    FIELD(unsandbox_artifact, url);
    FIELD(unsandbox_artifact, url_len);
    FIELD(unsandbox_result, success);
    FIELD(unsandbox_result, truncated);
    FIELD(unsandbox_result, has_exit_code);
    FIELD(unsandbox_result, has_signal);
    FIELD(unsandbox_result, has_total_time_ms);
    FIELD(unsandbox_result, has_usage);
    FIELD(unsandbox_result, status);
    FIELD(unsandbox_result, exit_code);
    FIELD(unsandbox_result, signal);
    FIELD(unsandbox_result, limit);
    FIELD(unsandbox_result, stdout_data);
    FIELD(unsandbox_result, stdout_len);
    FIELD(unsandbox_result, stderr_data);
    FIELD(unsandbox_result, stderr_len);
    FIELD(unsandbox_result, status_text);
    FIELD(unsandbox_result, status_text_len);
    FIELD(unsandbox_result, error);
    FIELD(unsandbox_result, error_len);
    FIELD(unsandbox_result, language);
    FIELD(unsandbox_result, language_len);
    FIELD(unsandbox_result, detected_language);
    FIELD(unsandbox_result, detected_language_len);
    FIELD(unsandbox_result, job_id);
    FIELD(unsandbox_result, job_id_len);
    FIELD(unsandbox_result, execution_mode);
    FIELD(unsandbox_result, execution_mode_len);
    FIELD(unsandbox_result, network_mode);
    FIELD(unsandbox_result, network_mode_len);
    FIELD(unsandbox_result, total_time_ms);
    FIELD(unsandbox_result, cpu_time_ms);
    FIELD(unsandbox_result, peak_memory_bytes);
    FIELD(unsandbox_result, artifacts);
    FIELD(unsandbox_result, artifact_count);
    FIELD(unsandbox_result, isolation_level);
    FIELD(unsandbox_result, isolation_level_len);
    FIELD(unsandbox_result, isolation_layers);
    FIELD(unsandbox_result, isolation_layer_count);
    FIELD(unsandbox_result, isolation_missing);
    FIELD(unsandbox_result, isolation_missing_count);
    FIELD(unsandbox_job, has_created_at);
    FIELD(unsandbox_job, has_started_at);
    FIELD(unsandbox_job, has_completed_at);
    FIELD(unsandbox_job, status);
    FIELD(unsandbox_job, job_id);
    FIELD(unsandbox_job, job_id_len);
    FIELD(unsandbox_job, status_text);
    FIELD(unsandbox_job, status_text_len);
    FIELD(unsandbox_job, language);
    FIELD(unsandbox_job, language_len);
    FIELD(unsandbox_job, detected_language);
    FIELD(unsandbox_job, detected_language_len);
    FIELD(unsandbox_job, network_mode);
    FIELD(unsandbox_job, network_mode_len);
    FIELD(unsandbox_job, created_at);
    FIELD(unsandbox_job, started_at);
    FIELD(unsandbox_job, completed_at);
    FIELD(unsandbox_job, result);
    return 0;
}
