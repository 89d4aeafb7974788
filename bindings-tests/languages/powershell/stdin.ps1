$input | ForEach-Object { $_.ToUpper() }
