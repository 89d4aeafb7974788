say value('GREETING', , 'ENVIRONMENT')
