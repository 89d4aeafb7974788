console.log('started');
for (;;) {}
