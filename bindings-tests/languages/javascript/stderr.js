console.error('oops');
