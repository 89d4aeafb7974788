println System.getenv('GREETING')
