: word-of s" several" ;
