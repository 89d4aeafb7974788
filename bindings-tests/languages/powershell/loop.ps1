Write-Host "started"
while ($true) { }
