module homelake/pause

go 1.24
