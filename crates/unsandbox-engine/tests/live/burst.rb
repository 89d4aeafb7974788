# SPDX-License-Identifier: MIT OR Apache-2.0
def lines(name)
  6000.times { |at| puts "#{name} #{at}" }
end

lines "first"
Process.wait(fork { lines "child" })
system "echo", "shell"
Thread.new { lines "thread" }.join
$stdout.syswrite "raw\n"
lines "last"
