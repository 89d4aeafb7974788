# SPDX-License-Identifier: MIT OR Apache-2.0
# Shows what a Ruby program prints at once. After `budget` writes in a `moment` a thread does it instead, every `tick`,
# for a while. Ruby leaves frames of `<internal:` out of its backtraces.
eval(<<'PROGRAM', binding, "<internal:output>")
lambda do |output|
  next if output.sync || output.tty?
  budget, moment, tick, ticks = 1000, 0.02, 0.02, 10
  now = -> { Process.clock_gettime(Process::CLOCK_MONOTONIC) }
  own = output.singleton_class
  left, since, thread = budget, now.call, nil

  gather = watch_forks = nil
  mutex = Mutex.new
  live = lambda do
    left, since, thread = budget, now.call, nil
    output.sync = true
    own.define_method(:write) do |*parts|
      written = super(*parts)
      left -= 1
      if left <= 0
        is_busy = now.call - since < moment
        left, since = budget, now.call
        is_busy && thread.nil? && output.sync && gather.call
      end
      written
    end
  end

  # Ruby's own lock does not keep a writer from moving what a flush is writing.
  show = lambda do
    own.define_method(:write) do |*parts|
      mutex.synchronize { super(*parts) }
    rescue ThreadError # in a trap
      super(*parts)
    end
    mutex.synchronize { output.flush }
  ensure
    own.remove_method(:write)
  end

  gather = lambda do
    watch_forks.call
    own.remove_method(:write)
    output.sync = false
    # One that is killed within a flush would write it once more.
    thread = Thread.new do
      Thread.handle_interrupt(Object => :never) do
        ticks.times do
          Thread.handle_interrupt(Object => :immediate) { sleep tick }
          show.call
        end
        live.call
      end
    rescue IOError, SystemCallError
      # The program has closed it.
    end
    thread.report_on_exception = false
  rescue ThreadError
    live.call
  end

  # A child has no thread.
  watch_forks = lambda do
    watch_forks = -> {}
    Process.singleton_class.prepend(Module.new do
      define_method(:_fork) { super().tap { |pid| live.call if pid == 0 && thread } }
    end)
  end
  live.call
end.call(STDOUT)
PROGRAM
