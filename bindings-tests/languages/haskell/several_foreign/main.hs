import Words.Foreign (count)

main :: IO ()
main = count 4 >>= \n -> putStrLn (take (fromIntegral n) "several words")
