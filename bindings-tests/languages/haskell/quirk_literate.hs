A program in a text.

> module Main where
>
> main :: IO ()
> main = putStrLn "quirk"
