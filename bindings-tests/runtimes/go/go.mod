module example.com/unsandbox

go 1.20
