# SPDX-License-Identifier: MIT OR Apache-2.0
# Answers the lines of ../driver.py.
require_relative "unsandbox"

$stdout.sync = true
clients = {}
$stdin.set_encoding("UTF-8")
while (line = gets(chomp: true))
  url, key, method, json = line.split("\t")
  begin
    client = clients[[url, key]] ||= Unsandbox::Client.new(base_url: url, api_key: key == "-" ? nil : key)
    puts "ok\t#{client.call_json(method, json)}"
  rescue Unsandbox::Error => error
    puts "#{error.code}\t#{error.message}"
  end
end
clients.each_value(&:close)
