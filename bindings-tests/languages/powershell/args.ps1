$args | ForEach-Object { Write-Output $_ }
