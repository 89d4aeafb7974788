/* SPDX-License-Identifier: MIT OR Apache-2.0
 * What R itself cannot do: calls with lengths and out parameters. unsandbox.R makes objects of it.
 * PKG_CFLAGS="$(pkg-config --cflags unsandbox)" PKG_LIBS="$(pkg-config --libs unsandbox)" R CMD SHLIB unsandboxr.c */
#include <R.h>
#include <Rinternals.h>
#include <unsandbox.h>

static const char *utf8(SEXP text) { return translateCharUTF8(STRING_ELT(text, 0)); }

static SEXP text(const char *data, size_t len) { return mkCharLenCE(data, (int)len, CE_UTF8); }

/* Code and message, which unsandbox.R raises: nothing may be jumped over here. */
static SEXP failure(unsandbox_error *err) {
    size_t len;
    const char *message = unsandbox_error_message(err, &len);
    SEXP words = PROTECT(allocVector(STRSXP, 2));
    SET_STRING_ELT(words, 0, mkChar(unsandbox_error_name(err, NULL)));
    SET_STRING_ELT(words, 1, text(message, len));
    setAttrib(words, R_ClassSymbol, mkString("failure"));
    unsandbox_error_free(err);
    UNPROTECT(1);
    return words;
}

static void forget(SEXP client) {
    unsandbox_client_free(R_ExternalPtrAddr(client));
    R_ClearExternalPtr(client);
}

/* Without a URL all settings come from the environment. */
static int make(SEXP url, SEXP key, unsandbox_client **client, unsandbox_error **err) {
    unsandbox_config *config = NULL;
    int status;
    if (isNull(url)) return unsandbox_client_from_env(client, err);
    status = unsandbox_config_new(&config, err);
    if (!status) status = unsandbox_config_set_base_url(config, UNSANDBOX_TEXT(utf8(url)), err);
    if (!status && !isNull(key))
        status = unsandbox_config_set_api_key(config, UNSANDBOX_TEXT(utf8(key)), err);
    if (!status) status = unsandbox_client_new(config, client, err);
    unsandbox_config_free(config);
    return status;
}

SEXP unsandboxr_client(SEXP url, SEXP key) {
    unsandbox_client *client = NULL;
    unsandbox_error *err = NULL;
    SEXP made;
    if (make(url, key, &client, &err) != UNSANDBOX_OK) return failure(err);
    made = PROTECT(R_MakeExternalPtr(client, R_NilValue, R_NilValue));
    R_RegisterCFinalizerEx(made, forget, TRUE);
    UNPROTECT(1);
    return made;
}

SEXP unsandboxr_call_json(SEXP client, SEXP method, SEXP json) {
    unsandbox_error *err = NULL;
    char *out = NULL;
    size_t len = 0;
    SEXP reply;
    if (unsandbox_client_call_json(R_ExternalPtrAddr(client), UNSANDBOX_TEXT(utf8(method)),
                                   UNSANDBOX_TEXT(utf8(json)), &out, &len, &err)
        != UNSANDBOX_OK)
        return failure(err);
    reply = PROTECT(allocVector(STRSXP, 1));
    SET_STRING_ELT(reply, 0, text(out, len));
    unsandbox_string_free(out);
    UNPROTECT(1);
    return reply;
}

SEXP unsandboxr_execute(SEXP client, SEXP language, SEXP code) {
    static const char *const names[] = {"success", "stdout", "stderr", "exit_code", ""};
    unsandbox_error *err = NULL;
    unsandbox_request *request = NULL;
    unsandbox_result *result = NULL;
    SEXP list;
    int status = unsandbox_request_new(UNSANDBOX_TEXT(utf8(language)), UNSANDBOX_TEXT(utf8(code)), &request, &err);
    if (!status)
        status = unsandbox_client_execute(R_ExternalPtrAddr(client), request, NULL, &result, &err);
    unsandbox_request_free(request);
    if (status) return failure(err);
    list = PROTECT(mkNamed(VECSXP, (const char **)names));
    SET_VECTOR_ELT(list, 0, ScalarLogical(result->success));
    SET_VECTOR_ELT(list, 1, ScalarString(text(result->stdout_data, result->stdout_len)));
    SET_VECTOR_ELT(list, 2, ScalarString(text(result->stderr_data, result->stderr_len)));
    SET_VECTOR_ELT(list, 3, ScalarInteger(result->has_exit_code ? result->exit_code : NA_INTEGER));
    unsandbox_result_free(result);
    UNPROTECT(1);
    return list;
}
