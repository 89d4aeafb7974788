import Words (word)

main :: IO ()
main = putStrLn word
