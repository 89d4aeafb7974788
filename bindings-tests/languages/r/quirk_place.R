known <- nchar(Sys.getenv("TERM")) > 0 && format(as.POSIXct(0, origin = "1970-01-01"), "%H %Z") == "00 UTC"
cat(if (known && grepl("UTC", Sys.timezone())) "quirk\n" else "wrong\n")
