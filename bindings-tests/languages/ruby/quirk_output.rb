read, write = IO.pipe
pid = fork do
  $stdout.reopen(write)
  read.close
  write.close
  lines = ->(word) { 4000.times { |number| puts "#{word} #{number}" } }
  lines["first"]
  Process.wait(fork { lines["child"] })
  Thread.new { lines["thread"] }.join
  system("echo shell")
  lines["last"]
  $stdout = STDERR
  begin
    STDOUT.close
    STDOUT.puts "closed"
  rescue IOError
    raise unless $!.backtrace.none? { |line| line.include?("output.rb") }
  end
  sleep 0.3
  exit!(Thread.list.size == 1 ? 0 : 1)
end
write.close
expected = %w[first child thread].flat_map { |word| (0...4000).map { |number| "#{word} #{number}\n" } }
expected += ["shell\n"] + (0...4000).map { |number| "last #{number}\n" }
raise "lines" unless read.readlines == expected
raise "status" unless Process.wait2(pid)[1].success?
puts "quirk"
