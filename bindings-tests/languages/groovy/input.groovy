print new File('data.txt').text
