local nothing = nil
print(nothing.field)
