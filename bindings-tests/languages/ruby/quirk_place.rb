puts Time.at(0).zone == "UTC" && Time.at(0).hour == 0 && ENV["TERM"] ? "quirk" : "wrong"
