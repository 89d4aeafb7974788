import System.IO

main :: IO ()
main = putStrLn "started" >> hFlush stdout >> loop 0
  where loop n = if n < (0 :: Integer) then return () else loop (n + 1)
