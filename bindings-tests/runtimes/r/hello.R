# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one program and prints what it wrote: Rscript hello.R
source(Sys.getenv("UNSANDBOX_R_SOURCE", "unsandbox.R"))

result <- unsandbox_execute(unsandbox_client(), "python", "print(6 * 7)")
cat(result$stdout)
quit(status = result$exit_code)
