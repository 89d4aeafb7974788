defmodule Loop do
  def run, do: run()
end

IO.puts("started")
Loop.run()
