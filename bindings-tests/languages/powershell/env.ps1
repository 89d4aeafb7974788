Write-Output $env:GREETING
