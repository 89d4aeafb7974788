System.err.println 'oops'
