# SPDX-License-Identifier: MIT OR Apache-2.0
# Answers the lines of ../driver.py.
source(Sys.getenv("UNSANDBOX_R_SOURCE", "unsandbox.R"))

clients <- list()
answer <- function(url, key, method, json) {
  name <- paste(url, key)
  if (is.null(clients[[name]])) {
    clients[[name]] <<- unsandbox_client(url, if (key == "-") NULL else key)
  }
  paste0("ok\t", unsandbox_call_json(clients[[name]], method, json))
}

lines <- file("stdin", "r", encoding = "UTF-8")
while (length(line <- readLines(lines, 1)) > 0) {
  words <- strsplit(line, "\t", fixed = TRUE)[[1]]
  reply <- tryCatch(
    answer(words[1], words[2], words[3], words[4]),
    unsandbox_error = function(failure) paste0(failure$code, "\t", conditionMessage(failure))
  )
  cat(reply, "\n", sep = "")
}
