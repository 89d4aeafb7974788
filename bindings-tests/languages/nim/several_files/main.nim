import util
echo word()
