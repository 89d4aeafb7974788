module Words (word) where

word :: String
word = "several"
