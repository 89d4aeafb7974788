{-
module Old where
-}
main = putStrLn "quirk"
