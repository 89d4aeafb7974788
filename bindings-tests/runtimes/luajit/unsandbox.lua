-- SPDX-License-Identifier: MIT OR Apache-2.0
-- unsandbox from LuaJIT: its ffi reads include/unsandbox.cdef (share/unsandbox where installed).
local ffi = require("ffi")

local here = debug.getinfo(1, "S").source:match("^@(.*/)") or "./"
local file = assert(io.open(os.getenv("UNSANDBOX_CDEF") or here .. "../../../include/unsandbox.cdef"))
ffi.cdef(file:read("*a"))
file:close()
local c = ffi.load("libunsandbox.so.0.1")

-- Calls a function whose last argument receives an error; raises {code =, message =}.
local function check(name, ...)
  local err = ffi.new("unsandbox_error *[1]")
  local count, words = select("#", ...) + 1, { ... }
  words[count] = err
  if c[name](unpack(words, 1, count)) == 0 then return end
  local error_value = setmetatable({
    code = ffi.string(c.unsandbox_error_name(err[0], nil)),
    message = ffi.string(c.unsandbox_error_message(err[0], nil)),
  }, { __tostring = function(self) return self.message end })
  c.unsandbox_error_free(err[0])
  error(error_value, 0)
end

local Client = {}
Client.__index = Client

-- Without settings they come from the environment.
function Client.new(settings)
  local slot = ffi.new("unsandbox_client *[1]")
  if not settings then
    check("unsandbox_client_from_env", slot)
  else
    local made = ffi.new("unsandbox_config *[1]")
    check("unsandbox_config_new", made)
    local config = ffi.gc(made[0], c.unsandbox_config_free)
    check("unsandbox_config_set_base_url", config, settings.base_url, #settings.base_url)
    if settings.api_key then check("unsandbox_config_set_api_key", config, settings.api_key, #settings.api_key) end
    check("unsandbox_client_new", config, slot)
  end
  return setmetatable({ handle = ffi.gc(slot[0], c.unsandbox_client_free) }, Client)
end

-- Calls a method ("execute", "run", "get_job", …) with JSON and gives JSON.
function Client:call_json(method, json)
  local out, len = ffi.new("char *[1]"), ffi.new("size_t[1]")
  check("unsandbox_client_call_json", self.handle, method, #method, json, #json, out, len)
  local text = ffi.string(out[0], len[0])
  c.unsandbox_string_free(out[0])
  return text
end

-- Runs a program and waits for its result: a table with what most programs want.
function Client:execute(language, code)
  local request, result = ffi.new("unsandbox_request *[1]"), ffi.new("unsandbox_result *[1]")
  check("unsandbox_request_new", language, #language, code, #code, request)
  request = ffi.gc(request[0], c.unsandbox_request_free)
  check("unsandbox_client_execute", self.handle, request, nil, result)
  result = ffi.gc(result[0], c.unsandbox_result_free)
  return {
    success = result.success ~= 0,
    stdout = ffi.string(result.stdout_data, result.stdout_len),
    stderr = ffi.string(result.stderr_data, result.stderr_len),
    exit_code = result.exit_code,
  }
end

function Client:close()
  c.unsandbox_client_free(ffi.gc(self.handle, nil))
  self.handle = nil
end

return Client
