package.path = "./lib/?.lua;" .. package.path
local folder = arg[0]:match("(.*/)") or "./"
print(require("first").word .. io.open(folder .. "middle.txt"):read("l") .. require("deep.last"))
