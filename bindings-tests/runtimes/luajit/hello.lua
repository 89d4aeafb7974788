-- SPDX-License-Identifier: MIT OR Apache-2.0
-- Runs one program and prints what it wrote: luajit hello.lua
package.path = (arg[0]:match("^(.*/)") or "./") .. "?.lua;" .. package.path
local Client = require("unsandbox")

local client = Client.new()
local result = client:execute("python", "print(6 * 7)")
io.write(result.stdout)
client:close()
os.exit(result.exit_code)
