"""What the people and the agents of a generated day say: phrases to be put together, in Japanese and English."""

OPENINGS = (
    "すみません、一つ教えてください。",
    "お疲れさまです。",
    "昨日の続きですが、",
    "急ぎでお願いします。",
    "ちょっと相談です。",
    "先ほどの回答について、",
    "初めて使います。",
    "Quick question: ",
    "Hi, ",
    "Following up on yesterday, ",
    "Sorry, one more thing: ",
    "Could you help me? ",
    "",
    "",
)
REQUESTS = (
    "来週の会議の議事録を三行で要約してください。",
    "この売上表から前年同月比を計算する式を教えてください。",
    "京都の紅葉をテーマにした画像を作ってもらえますか？",
    "添付した仕様書の矛盾している箇所を挙げてください。",
    "お客様への謝罪メールを、もう少し柔らかい表現に直してください。",
    "新入社員向けの研修計画を四週間分で作成してください。",
    "このエラーの原因と直し方を教えてください。",
    "社内規程では在宅勤務の申請期限は何日前ですか？",
    "英語の契約書の第五条を平易な日本語に訳してください。",
    "競合三社の料金を表で比較してください。",
    "please summarise the attached report in five bullet points.",
    "why does this query return the same row twice?",
    "draft a friendly reminder for the invoice that is due on Friday.",
    "make an image of a lighthouse at dawn, watercolour, soft light.",
    "what changed between the two versions of the contract?",
    "how do I group these orders by week and by region?",
    "rewrite this paragraph so that a ten-year-old understands it.",
    "which of our documents explains the on-call rota?",
    "ありがとう！もう少し詳しくお願いします😊",
    "なるほど。では、予算を半分にした場合はどうなりますか？",
    "Thanks 👍 and now the same for last quarter.",
    '"納期"と"検収日"の違いは何ですか？',
)
DETAILS = (
    "対象は2025年度の第1四半期です。",
    "箇条書きでお願いします。",
    "担当は営業二課の佐藤さんです。",
    "数字は千円単位で構いません。",
    "前提条件:\n- 予算は120万円\n- 期間は6週間\n- 担当は3名",
    "Keep it under two hundred words.",
    "The file has about 40,000 rows.",
    "We use the C:\\data\\orders folder for now.",
    "Please answer in English and in Japanese.",
    "参考: https://example.com/docs/guide?id=42",
    "（先週の資料と同じ形式で）",
    "",
    "",
    "",
)
ACKNOWLEDGEMENTS = (
    "承知しました。",
    "はい、お答えします。",
    "ご質問ありがとうございます。",
    "確認いたしました。",
    "Sure, here is what I found.",
    "Good question.",
    "Here you go.",
    "以下のとおりです。",
)
EXPLANATIONS = (
    "まず全体の流れを整理すると、申請、承認、登録の三段階に分かれており、期限が決まっているのは最初の申請だけです。",
    "前年同月比は、当月の値を前年同月の値で割り、そこから1を引いて百分率で表します。",
    "ご指摘の箇所は、本文では三営業日、別表では五営業日となっており、どちらかを直す必要があります。",
    "原因は、結合の条件に日付が入っていないため、同じ注文が翌日の行とも結び付いていることです。",
    "料金は月額と従量の二つから選べますが、利用者が五十名を超える場合は月額のほうが安くなります。",
    "議論の結論は、試験運用を九月まで延長し、その間に問い合わせの件数と応答の時間を記録することです。",
    "The report makes three points: demand grew in every region, costs grew faster, and the margin fell by two points.",
    "The query joins on the customer alone, so every order meets every address that the customer ever had.",
    "Clause five limits liability to the fees of the last twelve months, with the usual exceptions for intent.",
    "A weekly grouping should follow the local calendar; otherwise Sunday night lands in the wrong week.",
    "I would start with the smallest change that can be measured, run it for a fortnight and compare.",
    "社内の文書では「在宅勤務規程」第八条が該当し、申請は前営業日の十七時までとされています。",
    "画像は四案を用意しました。二案目は色を抑え、三案目は構図を横長にしています。",
    "なお、この数値は速報であり、確定値は翌月の十日ごろに公表されます。",
    "If the totals still differ after that, compare the two lists by key and look at the rows that stand alone.",
    "比較のために、同じ期間の問い合わせを「操作」「料金」「障害」の三つに分類して集計しました。",
)
BLOCKS = (
    "```sql\nSELECT region, date_trunc('week', ordered_at) AS week, sum(amount)\n"
    "FROM orders\nGROUP BY 1, 2\nORDER BY 1, 2;\n```",
    "```python\nfrom collections import Counter\n\n"
    'counts = Counter(row["room"] for row in rows)\nprint(counts.most_common(5))\n```',
    "| プラン | 月額 | 上限 |\n|---|---:|---:|\n| 基本 | 9,800円 | 10名 |\n| 標準 | 29,800円 | 50名 |\n",
    "1. 申請書を出す\n2. 上長が承認する\n3. 総務が登録する\n",
    "> 「検収」とは、納品物が契約の内容に適合することを確認する行為をいう。\n",
    "- first, export the list\n- then sort it by date\n- finally, mark the rows without an owner\n",
    "式は `=(C2-B2)/B2` です。\t表示形式を「パーセント」にしてください。",
    "Path: `C:\\reports\\2025\\q1.xlsx`",
)
CLOSINGS = (
    "ほかに知りたいことがあれば、お気軽にどうぞ。",
    "必要であれば表にまとめます。",
    "以上、ご確認をお願いいたします🙇",
    "ご不明な点はありますか？",
    "Let me know if you want the figures by month as well.",
    "Shall I turn this into slides? 📊",
    "Hope that helps!",
    "",
    "",
)
TITLES = (
    "在宅勤務規程",
    "2025年度 予算編成方針",
    "料金改定のお知らせ",
    "Onboarding handbook",
    "Incident review, July",
    "製品カタログ 第12版",
    "Data retention policy",
    "よくある質問",
)
PROMPTS = (
    "紅葉の京都、夕暮れ、水彩画風",
    "a lighthouse at dawn, watercolour, soft light",
    "社内報の表紙、青を基調、余白を広く",
    "isometric office, pastel colours, no people",
)
MODES = ("chat", "rag", "research", "image", "code", "翻訳")
MODELS = ("swift-2", "deep-1", "vision-3")
FILE_NAMES = ("仕様書_v3.pdf", "orders 2025-07.csv", "議事録.docx", "screenshot.png", "見積り(最終).xlsx")

# ruff: noqa: SIM905  (a hundred quoted words in a column are harder to read)
# Words for sentences that say little, but no two of them alike: text that compresses as text does.
NOUNS = tuple(
    "予算 売上 在庫 見積り 契約 納期 仕様 画面 帳票 会議 議事録 研修 規程 申請 承認 請求 入金 返品 配送 倉庫 店舗 "
    "顧客 問い合わせ 障害 原因 対策 手順 権限 監査 記録 集計 期間 担当 部門 計画 目標 実績 予測 資料 提案 方針 "
    "品質 検査 工程 設計 試験 移行 運用 保守 料金 割引 税率 為替 市場 調査 回答 傾向 比率 平均 差額 条件 範囲 "
    "上限 期限".split()
)
PREDICATES = tuple(
    "確認しました 見直してください 共有します 延期されました 増えています 減っています 一致しません 必要です "
    "含まれています 更新されました 比較できます 整理しました 決まっていません 短縮できます 対象外です 登録済みです "
    "集計中です 推奨します 想定どおりです 再計算が必要です".split()
)
ADJECTIVES = tuple(
    "quarterly late open shared internal final early regional missing average monthly signed pending revised small "
    "weekly local recent unpaid external complete manual daily annual draft".split()
)
THINGS = tuple(
    "report invoice order budget contract estimate schedule customer shipment meeting forecast policy request ticket "
    "warehouse discount survey margin record design review test release query table index region branch account "
    "payment refund delivery agenda deadline owner backlog dashboard supplier catalogue receipt".split()
)
VERBS = tuple(
    "covers replaces follows includes delays explains matches changes precedes confirms contradicts exceeds lists "
    "reduces repeats supports updates needs skips splits".split()
)
