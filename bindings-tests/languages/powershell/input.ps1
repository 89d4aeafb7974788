Get-Content data.txt
