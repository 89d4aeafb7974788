let word () = Inner.word
