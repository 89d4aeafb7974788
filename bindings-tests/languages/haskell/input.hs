main :: IO ()
main = readFile "data.txt" >>= putStr
