(
    SELECT *
    FROM events
    UNION ALL
    SELECT *
    FROM drafts)
