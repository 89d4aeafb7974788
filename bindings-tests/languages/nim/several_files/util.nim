proc word*(): string = "several"
