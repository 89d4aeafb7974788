-- SPDX-License-Identifier: MIT OR Apache-2.0
-- Answers the lines of ../driver.py.
package.path = (arg[0]:match("^(.*/)") or "./") .. "?.lua;" .. package.path
local Client = require("unsandbox")

io.stdout:setvbuf("line")
local clients = {}
local function answer(url, key, method, json)
  local name = url .. "\t" .. key
  clients[name] = clients[name] or Client.new({ base_url = url, api_key = key ~= "-" and key or nil })
  return clients[name]:call_json(method, json)
end
for line in io.lines() do
  local good, reply = pcall(answer, line:match("^(.-)\t(.-)\t(.-)\t(.*)$"))
  if good then
    io.write("ok\t", reply, "\n")
  elseif type(reply) == "table" then
    io.write(reply.code, "\t", reply.message, "\n")
  else
    error(reply)
  end
  io.flush()
end
for _, client in pairs(clients) do client:close() end
