Environment.Exit(7);
