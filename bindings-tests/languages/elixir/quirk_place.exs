midnight = {{2020, 1, 1}, {0, 0, 0}}
IO.puts(if :calendar.universal_time_to_local_time(midnight) == midnight && System.get_env("TERM"), do: "quirk", else: "wrong")
