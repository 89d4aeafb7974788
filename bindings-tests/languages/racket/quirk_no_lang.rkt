(define word "quirk")
(displayln word)
