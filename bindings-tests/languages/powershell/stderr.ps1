[Console]::Error.WriteLine("oops")
