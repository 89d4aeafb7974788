let word () = "several"
