." hello from forth" CR
