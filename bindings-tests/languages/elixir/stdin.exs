IO.stream(:stdio, :line) |> Enum.each(&IO.write(String.upcase(&1)))
