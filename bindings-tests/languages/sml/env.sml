val () = print (valOf (OS.Process.getEnv "GREETING") ^ "\n");
