fun word() = "several"
