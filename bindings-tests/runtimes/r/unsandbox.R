# SPDX-License-Identifier: MIT OR Apache-2.0
# unsandbox from R, over unsandboxr.so, which unsandboxr.c becomes by R CMD SHLIB.
dyn.load(Sys.getenv("UNSANDBOX_R", "unsandboxr.so"))

# Raises what the library says as a condition of class unsandbox_error with its code: "ARGUMENT", "TIMEOUT", …
checked <- function(value) {
  if (!inherits(value, "failure")) return(value)
  stop(structure(
    class = c("unsandbox_error", "error", "condition"),
    list(message = value[[2]], call = NULL, code = value[[1]])
  ))
}

# A client; without a URL all settings come from the environment. Freed when nothing refers to it any more.
unsandbox_client <- function(url = NULL, key = NULL) checked(.Call("unsandboxr_client", url, key))

# Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.
unsandbox_call_json <- function(client, method, json) {
  checked(.Call("unsandboxr_call_json", client, method, json))
}

# Runs a program and waits for its result: a list with what most programs want.
unsandbox_execute <- function(client, language, code) {
  checked(.Call("unsandboxr_execute", client, language, code))
}
