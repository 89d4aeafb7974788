# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs one program and prints what it wrote: ruby hello.rb
require_relative "unsandbox"

client = Unsandbox::Client.new
result = client.call(:execute, language: "python", code: "print(6 * 7)")
print result["stdout"]
client.close
exit result["exit_code"]
