sub last_letters { "al" } 1;
