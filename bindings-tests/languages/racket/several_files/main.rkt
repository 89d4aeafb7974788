(require "util.rkt")
(displayln word)
